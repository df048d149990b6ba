CREATE TABLE stoves (region TEXT, fleet TEXT, medals INTEGER, tint TEXT);
INSERT INTO stoves VALUES
('Heven', 'Savis', 462, 'Dasoff'),
('Hutov', 'Jodon', 545, 'Jorum'),
('Forski', 'Vozon', 253, 'Ruzer'),
('Zupak', 'Jodon', 158, 'Fisel'),
('Vimum', 'Vozon', 409, 'Dasoff'),
('Tevis', 'Lutel', 609, 'Figon'),
('Ziser', 'Lutel', 81, 'Ruzer'),
('Poser', 'Vozon', 229, 'Fisel'),
('Ronoff', 'Jodon', 521, 'Gegel'),
('Hiloff', 'Vozon', 985, 'Gegel');

CREATE TABLE sandals (tint TEXT, song TEXT, duty INTEGER);
INSERT INTO sandals VALUES
('Ruzer', 'Pebel', 162),
('Dasoff', 'Hanel', 60),
('Gegel', 'Tedski', 336),
('Fisel', 'Tedski', 159),
('Jorum', 'Pebel', 429),
('Figon', 'Tedski', 249);

CREATE TABLE saunas (branch TEXT, output INTEGER, team TEXT, title TEXT);
INSERT INTO saunas VALUES
('Wogoff', 576, 'Vigel', 'Bevak'),
('Rakoff', 331, 'Lugic', 'Basis'),
('Foker', 231, 'Pifum', 'Jupis'),
('Jarum', 977, 'Vigel', 'Bevak'),
('Bazen', 140, 'Pifum', 'Hozon'),
('Lopon', 355, 'Lugic', 'Mavin'),
('Samer', 255, 'Lugic', 'Yikel'),
('Sadum', 602, 'Pevel', 'Jupis'),
('Difak', 742, 'Lugic', 'Hozon'),
('Kusak', 857, 'Pifum', 'Basis');

CREATE TABLE rovers (title TEXT, pastor TEXT, bets INTEGER);
INSERT INTO rovers VALUES
('Bevak', 'Yalel', 373),
('Basis', 'Yalel', 548),
('Hozon', 'Hiren', 761),
('Jupis', 'Mapum', 948),
('Mavin', 'Mapum', 276),
('Yikel', 'Yalel', 472);

CREATE TABLE oaks (look TEXT, rock TEXT, shares INTEGER, mammal TEXT);
INSERT INTO oaks VALUES
('Kanum', 'Jukak', 875, 'Konski'),
('Takov', 'Paron', 724, 'Wuzoff'),
('Kekel', 'Paron', 811, 'Dalin'),
('Lapski', 'Puboff', 484, 'Konski'),
('Kodon', 'Hepon', 495, 'Zimoff'),
('Tiler', 'Paron', 918, 'Dalin'),
('Yimen', 'Paron', 284, 'Bagis'),
('Sipen', 'Jukak', 100, 'Water'),
('Keton', 'Jukak', 644, 'Wuzoff'),
('Yepov', 'Puboff', 986, 'Bagis');

CREATE TABLE fences (mammal TEXT, golfer TEXT, gates INTEGER);
INSERT INTO fences VALUES
('Dalin', 'Jekov', 195),
('Konski', 'Tezis', 949),
('Wuzoff', 'Tezis', 998),
('Bagis', 'Jekov', 278),
('Zimoff', 'Tezis', 115),
('Water', 'Mazski', 398);

CREATE TABLE axes (genre TEXT, oil INTEGER, tile TEXT, tenor TEXT);
INSERT INTO axes VALUES
('Nonov', 259, 'Javon', 'Lapov'),
('Tufic', 435, 'Nonski', 'Pozski'),
('Tevic', 91, 'Nonski', 'Yobski'),
('Kugak', 694, 'Wubin', 'Mufoff'),
('Vevak', 319, 'Kigski', 'Pozski'),
('Dezer', 85, 'Kigski', 'Nosic'),
('Duvum', 65, 'Kigski', 'Lapov'),
('Hiken', 256, 'Javon', 'Mufoff'),
('Mavis', 229, 'Javon', 'Yobski'),
('Miroff', 208, 'Javon', 'Vinum');

CREATE TABLE vases (tenor TEXT, timber TEXT, leaves INTEGER);
INSERT INTO vases VALUES
('Pozski', 'Batov', 584),
('Mufoff', 'Batov', 408),
('Yobski', 'Batov', 266),
('Lapov', 'Yusoff', 878),
('Nosic', 'Tupin', 983),
('Vinum', 'Yusoff', 891);

CREATE TABLE mules (event TEXT, yard TEXT, speed INTEGER, critic TEXT);
INSERT INTO mules VALUES
('Rurin', 'Pobic', 633, 'Gimski'),
('Holis', 'Fager', 50, 'Suzic'),
('Wapen', 'Kolski', 42, 'Monum'),
('Jupon', 'Pobic', 654, 'Nusel'),
('Lenoff', 'Kolski', 947, 'Monum'),
('Yotin', 'Rigon', 198, 'Fopin'),
('Himen', 'Fager', 825, 'Fopin'),
('Jimin', 'Kolski', 168, 'Bulum'),
('Saser', 'Pobic', 391, 'Gimski'),
('Zibis', 'Pobic', 397, 'Nusel');

CREATE TABLE tubes (critic TEXT, fish TEXT, yards INTEGER);
INSERT INTO tubes VALUES
('Monum', 'Zotov', 675),
('Nusel', 'Zotov', 941),
('Fopin', 'Biron', 366),
('Gimski', 'Giben', 84),
('Bulum', 'Giben', 855),
('Suzic', 'Giben', 335);

CREATE TABLE menus (sister TEXT, inputs INTEGER, firm TEXT, scout TEXT);
INSERT INTO menus VALUES
('Resen', 179, 'Gilis', 'Zubon'),
('Lodoff', 460, 'Nuroff', 'Sigic'),
('Rumer', 580, 'Patov', 'Sigic'),
('Habic', 36, 'Gilis', 'Kadoff'),
('Lagen', 32, 'Gilis', 'Kadoff'),
('Susic', 694, 'Patov', 'Vipov'),
('Limin', 966, 'Patov', 'Vipov'),
('Yadin', 289, 'Sepel', 'Zubon'),
('Wovin', 468, 'Patov', 'Nekin'),
('Deton', 44, 'Nuroff', 'Dimum');

CREATE TABLE heroes (scout TEXT, start TEXT, irons INTEGER);
INSERT INTO heroes VALUES
('Sigic', 'Mifen', 937),
('Kadoff', 'Taton', 106),
('Zubon', 'Taton', 717),
('Vipov', 'Ganer', 358),
('Dimum', 'Ganer', 34),
('Nekin', 'Taton', 133);

CREATE TABLE comics (theme TEXT, spaces INTEGER, giver TEXT, pier TEXT);
INSERT INTO comics VALUES
('Zilon', 699, 'Dozer', 'Lumon'),
('Fifski', 735, 'Sabum', 'Komen'),
('Nifum', 991, 'Ladak', 'Kolski'),
('Yinum', 24, 'Dozer', 'Moren'),
('Tozon', 502, 'Rifin', 'Tizum'),
('Hatski', 787, 'Ladak', 'Moren'),
('Dofov', 208, 'Rifin', 'Zeten'),
('Suvel', 19, 'Dozer', 'Komen'),
('Hokon', 904, 'Ladak', 'Lumon'),
('Wilen', 106, 'Dozer', 'Tizum');

CREATE TABLE sofas (pier TEXT, thane TEXT, taxes INTEGER);
INSERT INTO sofas VALUES
('Moren', 'Biler', 851),
('Tizum', 'Vizic', 67),
('Lumon', 'Jopski', 282),
('Komen', 'Biler', 56),
('Kolski', 'Vizic', 599),
('Zeten', 'Vizic', 892);

CREATE TABLE waves (cause TEXT, taste TEXT, profit INTEGER, choir TEXT);
INSERT INTO waves VALUES
('Ronen', 'Norski', 222, 'Mopoff'),
('Jetis', 'Milin', 776, 'Sanak'),
('Fupon', 'Norski', 544, 'Magic'),
('Kuton', 'Sofum', 666, 'Boder'),
('Butum', 'Karak', 696, 'Sufov'),
('Valoff', 'Sofum', 585, 'Boder'),
('Bekel', 'Norski', 844, 'Mopoff'),
('Zagel', 'Karak', 412, 'Magic'),
('Widov', 'Sofum', 41, 'Sufov'),
('Rokin', 'Norski', 283, 'Sesak');

CREATE TABLE bakers (choir TEXT, solo TEXT, medals INTEGER);
INSERT INTO bakers VALUES
('Mopoff', 'Seven', 373),
('Boder', 'Digoff', 690),
('Magic', 'Digoff', 873),
('Sufov', 'Vepski', 636),
('Sesak', 'Digoff', 885),
('Sanak', 'Vepski', 915);

CREATE TABLE tenants (castle TEXT, matron TEXT, places INTEGER, virtue TEXT);
INSERT INTO tenants VALUES
('Pikic', 'Limer', 412, 'Numov'),
('Rumic', 'Limer', 93, 'Pofis'),
('Yetak', 'Pudis', 490, 'Povin'),
('Ladum', 'Pudis', 21, 'Pofis'),
('Zopov', 'Limer', 990, 'Turak'),
('Puvak', 'Pudis', 956, 'Numov'),
('Reton', 'Vilak', 50, 'Kisel'),
('Venis', 'Vilak', 274, 'Lofoff'),
('Volski', 'Pudis', 134, 'Lofoff'),
('Futoff', 'Jidov', 226, 'Kisel');

CREATE TABLE rockers (virtue TEXT, names INTEGER, metal TEXT);
INSERT INTO rockers VALUES
('Pofis', 374, 'Fivak'),
('Lofoff', 137, 'Yemic'),
('Kisel', 893, 'Yemic'),
('Numov', 186, 'Dumon'),
('Turak', 330, 'Fivak'),
('Povin', 546, 'Yemic');

CREATE TABLE routes (kingdom TEXT, force INTEGER, leaf TEXT, rival TEXT);
INSERT INTO routes VALUES
('Lasak', 151, 'Zorski', 'Mefak'),
('Sidak', 391, 'Hazer', 'Nenen'),
('Desin', 850, 'Zorski', 'Palis'),
('Fukak', 599, 'Nugoff', 'Didic'),
('Wogon', 172, 'Goden', 'Mefak'),
('Pigon', 646, 'Zorski', 'Vatel'),
('Kurer', 517, 'Goden', 'Palis'),
('Mavum', 992, 'Goden', 'Nenen'),
('Todel', 568, 'Zorski', 'Didic'),
('Sobum', 849, 'Nugoff', 'Jamov');

CREATE TABLE owners (rival TEXT, aims INTEGER, worker TEXT);
INSERT INTO owners VALUES
('Mefak', 74, 'Fusak'),
('Didic', 305, 'Mesin'),
('Palis', 169, 'Mesin'),
('Nenen', 289, 'Mesin'),
('Jamov', 162, 'Guzski'),
('Vatel', 914, 'Fusak');

CREATE TABLE lessons (author TEXT, purser TEXT, expense INTEGER, station TEXT);
INSERT INTO lessons VALUES
('Yifin', 'Fosin', 609, 'Zeric'),
('Vakic', 'Jazer', 525, 'Vugski'),
('Tuter', 'Nesski', 659, 'Mumen'),
('Vubski', 'Fosin', 704, 'Silel'),
('Davski', 'Fosin', 744, 'Ginin'),
('Tomum', 'Fosin', 139, 'Ginin'),
('Zedov', 'Likak', 632, 'Silel'),
('Jakon', 'Nesski', 645, 'Mumen'),
('Jolum', 'Jazer', 845, 'Dizic'),
('Noroff', 'Nesski', 753, 'Dizic');

CREATE TABLE twins (station TEXT, armor TEXT, claims INTEGER);
INSERT INTO twins VALUES
('Silel', 'Torel', 296),
('Mumen', 'Torel', 635),
('Dizic', 'Yitis', 80),
('Ginin', 'Torel', 99),
('Zeric', 'Pafic', 118),
('Vugski', 'Pafic', 89);

CREATE TABLE hoods (feature TEXT, drops INTEGER, move TEXT, rival TEXT);
INSERT INTO hoods VALUES
('Yezis', 644, 'Lekis', 'Bepic'),
('Tuber', 63, 'Lekis', 'Higum'),
('Jazer', 650, 'Lekis', 'Kezoff'),
('Sodak', 845, 'Dovin', 'Bepic'),
('Kasin', 130, 'Lekis', 'Jedis'),
('Sekis', 39, 'Nidak', 'Kezoff'),
('Puvon', 144, 'Nidak', 'Mamen'),
('Jegin', 186, 'Lipen', 'Higum'),
('Ranic', 528, 'Lipen', 'Jedis'),
('Tatum', 197, 'Lipen', 'Kefer');

CREATE TABLE tours (rival TEXT, resort TEXT, slides INTEGER);
INSERT INTO tours VALUES
('Jedis', 'Wubski', 556),
('Higum', 'Jezov', 378),
('Bepic', 'Jezov', 862),
('Kezoff', 'Mevov', 852),
('Mamen', 'Jezov', 130),
('Kefer', 'Wubski', 234);

CREATE TABLE reefs (basin TEXT, hero TEXT, sacks INTEGER, signer TEXT);
INSERT INTO reefs VALUES
('Wekon', 'Babak', 981, 'Nodoff'),
('Koroff', 'Hefel', 651, 'Juton'),
('Rabon', 'Hefel', 689, 'Nodoff'),
('Yapon', 'Kagon', 506, 'Wogoff'),
('Jakak', 'Yunis', 857, 'Wogoff'),
('Mesak', 'Yunis', 299, 'Juton'),
('Ketel', 'Kagon', 319, 'Farski'),
('Lolum', 'Hefel', 295, 'Danon'),
('Goken', 'Yunis', 963, 'Danon'),
('Mikak', 'Yunis', 921, 'Balis');

CREATE TABLE canoes (signer TEXT, slope INTEGER, purser TEXT);
INSERT INTO canoes VALUES
('Juton', 588, 'Topoff'),
('Wogoff', 433, 'Tafin'),
('Nodoff', 139, 'Yipis'),
('Danon', 736, 'Yipis'),
('Balis', 843, 'Yipis'),
('Farski', 253, 'Topoff');

CREATE TABLE breads (cover TEXT, motto TEXT, rolls INTEGER, team TEXT);
INSERT INTO breads VALUES
('Suvov', 'Vader', 646, 'Filon'),
('Gafel', 'Jarov', 496, 'Wosoff'),
('Menis', 'Kigon', 978, 'Yebum'),
('Vamel', 'Jarov', 962, 'Suren'),
('Nugen', 'Kigon', 316, 'Levum'),
('Fonon', 'Jarov', 369, 'Wosoff'),
('Luton', 'Jarov', 22, 'Videl'),
('Logski', 'Yogum', 936, 'Filon'),
('Zeker', 'Yogum', 963, 'Yebum'),
('Golis', 'Kigon', 29, 'Levum');

CREATE TABLE songs (team TEXT, plots INTEGER, story TEXT);
INSERT INTO songs VALUES
('Levum', 251, 'Lizum'),
('Yebum', 961, 'Lizum'),
('Wosoff', 186, 'Kebski'),
('Filon', 32, 'Dolon'),
('Suren', 533, 'Kebski'),
('Videl', 60, 'Lizum');

CREATE TABLE elves (guest TEXT, front TEXT, stock INTEGER, award TEXT);
INSERT INTO elves VALUES
('Jeben', 'Sukel', 163, 'Wenoff'),
('Dolon', 'Sukel', 108, 'Riris'),
('Depen', 'Susski', 481, 'Wifer'),
('Vibin', 'Sukel', 227, 'Wifer'),
('Tizov', 'Susski', 873, 'Lizel'),
('Pedak', 'Japin', 875, 'Dovin'),
('Witin', 'Sukel', 821, 'Yunak'),
('Gunel', 'Patel', 563, 'Dovin'),
('Gudak', 'Susski', 336, 'Riris'),
('Mivoff', 'Patel', 690, 'Wenoff');

CREATE TABLE gulls (award TEXT, errors INTEGER, mentor TEXT);
INSERT INTO gulls VALUES
('Wenoff', 645, 'Yigov'),
('Riris', 215, 'Junis'),
('Dovin', 765, 'Nafum'),
('Wifer', 113, 'Junis'),
('Lizel', 840, 'Nafum'),
('Yunak', 217, 'Nafum');

CREATE TABLE coaches (voice TEXT, catches INTEGER, poem TEXT, lens TEXT);
INSERT INTO coaches VALUES
('Yaloff', 773, 'Kuzel', 'Rolen'),
('Logel', 876, 'Difis', 'Ruger'),
('Lunov', 586, 'Kuzel', 'Dosel'),
('Rofoff', 349, 'Bikis', 'Dosel'),
('Wibak', 488, 'Seben', 'Ruger'),
('Purski', 408, 'Kuzel', 'Lupen'),
('Yupel', 823, 'Seben', 'Rolen'),
('Bopel', 174, 'Kuzel', 'Lupen'),
('Waken', 966, 'Seben', 'Beter'),
('Zomen', 719, 'Difis', 'Bugak');

CREATE TABLE drones (lens TEXT, proxy TEXT, cables INTEGER);
INSERT INTO drones VALUES
('Rolen', 'Setak', 78),
('Ruger', 'Silak', 327),
('Lupen', 'Silak', 755),
('Dosel', 'Silak', 612),
('Bugak', 'Setak', 329),
('Beter', 'Yigov', 533);

CREATE TABLE flutes (screen TEXT, draws INTEGER, guild TEXT, prof TEXT);
INSERT INTO flutes VALUES
('Ginen', 825, 'Toren', 'Hefen'),
('Bafum', 907, 'Toren', 'Nunen'),
('Ludoff', 662, 'Jilon', 'Nunen'),
('Heger', 921, 'Vepic', 'Mutel'),
('Wolum', 544, 'Jilon', 'Fapin'),
('Yunon', 836, 'Fevoff', 'Fapin'),
('Rerak', 778, 'Jilon', 'Zetov'),
('Tafin', 935, 'Fevoff', 'Puvum'),
('Zusin', 635, 'Toren', 'Puvum'),
('Fotoff', 289, 'Jilon', 'Mutel');

CREATE TABLE juries (prof TEXT, stings INTEGER, head TEXT);
INSERT INTO juries VALUES
('Fapin', 109, 'Gerel'),
('Puvum', 302, 'Gerel'),
('Nunen', 410, 'Buzon'),
('Mutel', 952, 'Gerel'),
('Hefen', 360, 'Sazin'),
('Zetov', 962, 'Sazin');

CREATE TABLE cameras (nation TEXT, castle TEXT, output INTEGER, relic TEXT);
INSERT INTO cameras VALUES
('Vabon', 'Yalak', 892, 'Yarum'),
('Wilon', 'Nonon', 337, 'Diboff'),
('Filin', 'Patin', 63, 'Yarum'),
('Nanic', 'Yalak', 55, 'Gukic'),
('Zasum', 'Woven', 215, 'Dinis'),
('Dobis', 'Yalak', 464, 'Diboff'),
('Tison', 'Yalak', 649, 'Jutel'),
('Wesis', 'Woven', 319, 'Jutel'),
('Munic', 'Woven', 229, 'Wagum'),
('Lopis', 'Patin', 153, 'Dinis');

CREATE TABLE inns (relic TEXT, tile TEXT, risks INTEGER);
INSERT INTO inns VALUES
('Jutel', 'Muton', 956),
('Diboff', 'Debis', 94),
('Yarum', 'Muton', 610),
('Dinis', 'Rukin', 834),
('Gukic', 'Rukin', 302),
('Wagum', 'Muton', 466);

CREATE TABLE zones (format TEXT, seasons INTEGER, finder TEXT, grip TEXT);
INSERT INTO zones VALUES
('Hufum', 966, 'Yizel', 'Renum'),
('Nutak', 944, 'Riler', 'Fesum'),
('Notum', 101, 'Bolak', 'Gamoff'),
('Lelak', 646, 'Pesum', 'Jadov'),
('Welski', 776, 'Pesum', 'Kofin'),
('Kaber', 447, 'Pesum', 'Renum'),
('Gurer', 354, 'Yizel', 'Gamoff'),
('Favis', 392, 'Yizel', 'Boton'),
('Zunic', 716, 'Pesum', 'Fesum'),
('Yofak', 345, 'Bolak', 'Kofin');

CREATE TABLE arrows (grip TEXT, jockey TEXT, salary INTEGER);
INSERT INTO arrows VALUES
('Kofin', 'Fubov', 716),
('Fesum', 'Fubov', 264),
('Gamoff', 'Fubov', 957),
('Renum', 'Zorin', 296),
('Boton', 'Zorin', 425),
('Jadov', 'Dalel', 368);

CREATE TABLE engines (region TEXT, idol TEXT, sacks INTEGER, fan TEXT);
INSERT INTO engines VALUES
('Vavis', 'Nipski', 97, 'Senum'),
('Riser', 'Sekum', 541, 'Ligis'),
('Jifis', 'Nipski', 313, 'Wozis'),
('Nuker', 'Sekum', 222, 'Harski'),
('Yiren', 'Nipski', 659, 'Mifoff'),
('Benak', 'Hotov', 910, 'Harski'),
('Lotov', 'Sekum', 84, 'Wozis'),
('Waser', 'Hotov', 250, 'Senum'),
('Vusen', 'Fogoff', 775, 'Bisen'),
('Gozen', 'Nipski', 997, 'Bisen');

CREATE TABLE boxers (fan TEXT, trial TEXT, errors INTEGER);
INSERT INTO boxers VALUES
('Bisen', 'Ruter', 57),
('Harski', 'Lelski', 374),
('Wozis', 'Ledski', 952),
('Senum', 'Ruter', 455),
('Mifoff', 'Ledski', 835),
('Ligis', 'Ruter', 745);
