CREATE TABLE cousins (resort TEXT, agency TEXT, bets INTEGER, dancer TEXT);
INSERT INTO cousins VALUES
('Hokin', 'Regic', 216, 'Ligis'),
('Sizis', 'Jigic', 425, 'Safen'),
('Fufoff', 'Jigic', 825, 'Huzic'),
('Hodic', 'Kenov', 381, 'Sefum'),
('Batis', 'Jigic', 717, 'Gagov'),
('Dosen', 'Regic', 336, 'Yelak'),
('Tezis', 'Regic', 295, 'Safen'),
('Gimer', 'Regic', 574, 'Huzic'),
('Gukin', 'Saloff', 700, 'Sefum'),
('Kosoff', 'Saloff', 641, 'Gagov');

CREATE TABLE brewers (dancer TEXT, path TEXT, slope INTEGER);
INSERT INTO brewers VALUES
('Huzic', 'Bosel', 549),
('Gagov', 'Lopski', 468),
('Sefum', 'Bosel', 855),
('Safen', 'Lopski', 897),
('Yelak', 'Bosel', 833),
('Ligis', 'Kufin', 565);

CREATE TABLE lions (taste TEXT, seller TEXT, fee INTEGER, donor TEXT);
INSERT INTO lions VALUES
('Bomis', 'Womak', 774, 'Basis'),
('Sumak', 'Mafis', 545, 'Basis'),
('Vatov', 'Womak', 291, 'Nifski'),
('Ronov', 'Jifen', 373, 'Bumin'),
('Vipum', 'Womak', 140, 'Yaten'),
('Kozak', 'Tonov', 835, 'Pusak'),
('Zuger', 'Jifen', 300, 'Bumin'),
('Jikis', 'Mafis', 525, 'Vizak'),
('Zodel', 'Jifen', 936, 'Nifski'),
('Tovoff', 'Womak', 448, 'Vizak');

CREATE TABLE woods (donor TEXT, cheese TEXT, chests INTEGER);
INSERT INTO woods VALUES
('Vizak', 'Yenoff', 877),
('Nifski', 'Vanic', 139),
('Bumin', 'Vanic', 126),
('Basis', 'Ratak', 168),
('Pusak', 'Ratak', 991),
('Yaten', 'Vanic', 198);

CREATE TABLE gulls (victor TEXT, medium TEXT, dimes INTEGER, clerk TEXT);
INSERT INTO gulls VALUES
('Yukov', 'Luper', 357, 'Vozic'),
('Jamoff', 'Pinoff', 876, 'Rapel'),
('Pinon', 'Sefum', 305, 'Tisov'),
('Nizak', 'Luper', 548, 'Fosak'),
('Zevon', 'Luper', 250, 'Vozic'),
('Kufon', 'Luper', 203, 'Rapel'),
('Dobel', 'Sefum', 256, 'Tisov'),
('Gofon', 'Bofel', 992, 'Pitel'),
('Jalin', 'Pinoff', 990, 'Nolic'),
('Hopel', 'Pinoff', 67, 'Pitel');

CREATE TABLE gems (clerk TEXT, flaws INTEGER, buddy TEXT);
INSERT INTO gems VALUES
('Vozic', 851, 'Fefic'),
('Pitel', 496, 'Wezoff'),
('Tisov', 653, 'Fefic'),
('Rapel', 599, 'Fefic'),
('Fosak', 568, 'Wezoff'),
('Nolic', 62, 'Vaten');

CREATE TABLE coaches (cape TEXT, acts INTEGER, dancer TEXT, craft TEXT);
INSERT INTO coaches VALUES
('Kanoff', 897, 'Yopak', 'Husis'),
('Bilis', 565, 'Yopak', 'Husis'),
('Falum', 615, 'Gukak', 'Sider'),
('Zetum', 427, 'Sebak', 'Yofer'),
('Juton', 330, 'Yopak', 'Lanin'),
('Zedel', 795, 'Ziser', 'Yofer'),
('Vozon', 67, 'Yopak', 'Lanin'),
('Bumov', 182, 'Sebak', 'Gimak'),
('Yenov', 197, 'Sebak', 'Sagak'),
('Notski', 250, 'Gukak', 'Gimak');

CREATE TABLE docks (craft TEXT, plots INTEGER, coast TEXT);
INSERT INTO docks VALUES
('Husis', 145, 'Muvon'),
('Yofer', 23, 'Hiper'),
('Lanin', 915, 'Muvon'),
('Gimak', 76, 'Muvon'),
('Sider', 640, 'Hiper'),
('Sagak', 25, 'Funum');

CREATE TABLE bakers (finish TEXT, funds INTEGER, motion TEXT, coast TEXT);
INSERT INTO bakers VALUES
('Lumen', 82, 'Vogski', 'Yilic'),
('Livoff', 300, 'Vopen', 'Dalin'),
('Midel', 688, 'Votoff', 'Bizon'),
('Tasic', 123, 'Vopen', 'Yilic'),
('Tizov', 649, 'Vogski', 'Yiten'),
('Menin', 245, 'Vopen', 'Bizon'),
('Zirin', 806, 'Votoff', 'Dalin'),
('Poner', 742, 'Wusis', 'Hipski'),
('Kegon', 435, 'Vopen', 'Ruter'),
('Horoff', 635, 'Votoff', 'Yiten');

CREATE TABLE marinas (coast TEXT, seller TEXT, caps INTEGER);
INSERT INTO marinas VALUES
('Bizon', 'Febski', 566),
('Dalin', 'Posen', 262),
('Yiten', 'Febski', 229),
('Yilic', 'Febski', 820),
('Hipski', 'Vozen', 397),
('Ruter', 'Posen', 163);

CREATE TABLE mayors (tailor TEXT, tract TEXT, feet INTEGER, phase TEXT);
INSERT INTO mayors VALUES
('Yatum', 'Wapak', 134, 'Vetin'),
('Jepski', 'Wapak', 914, 'Holin'),
('Fekis', 'Wapak', 847, 'Bukon'),
('Mosen', 'Povon', 566, 'Goner'),
('Zomis', 'Wapak', 649, 'Holin'),
('Vepen', 'Povon', 528, 'Yilis'),
('Kapic', 'Dizon', 887, 'Vetin'),
('Paben', 'Povon', 182, 'Yilis'),
('Bemski', 'Kezoff', 445, 'Bukon'),
('Jakon', 'Dizon', 971, 'Duren');

CREATE TABLE garages (phase TEXT, folks INTEGER, pal TEXT);
INSERT INTO garages VALUES
('Holin', 815, 'Fonic'),
('Bukon', 349, 'Nulum'),
('Yilis', 807, 'Fonic'),
('Vetin', 873, 'Sasak'),
('Duren', 506, 'Nulum'),
('Goner', 561, 'Nulum');

CREATE TABLE rockers (model TEXT, regent TEXT, peak INTEGER, pupil TEXT);
INSERT INTO rockers VALUES
('Jinic', 'Juzel', 996, 'Levum'),
('Winov', 'Rezski', 641, 'Ponov'),
('Dozak', 'Zibski', 645, 'Zikel'),
('Taren', 'Zibski', 35, 'Levum'),
('Misel', 'Rezski', 717, 'Rarski'),
('Vikski', 'Bopic', 529, 'Zudak'),
('Junski', 'Rezski', 809, 'Zikel'),
('Ruzoff', 'Zibski', 452, 'Rarski'),
('Vafen', 'Juzel', 429, 'Ponov'),
('Zidum', 'Rezski', 128, 'Girel');

CREATE TABLE foals (pupil TEXT, pattern TEXT, spins INTEGER);
INSERT INTO foals VALUES
('Rarski', 'Zamen', 874),
('Ponov', 'Zefen', 496),
('Zikel', 'Zamen', 628),
('Levum', 'Zamen', 202),
('Zudak', 'Zefen', 209),
('Girel', 'Tovski', 824);

CREATE TABLE lists (court TEXT, rounds INTEGER, mark TEXT, flower TEXT);
INSERT INTO lists VALUES
('Bofel', 523, 'Tutin', 'Mefic'),
('Manin', 664, 'Wogis', 'Beger'),
('Zasum', 553, 'Tutin', 'Yoker'),
('Dozic', 510, 'Timoff', 'Woron'),
('Hafov', 475, 'Wogis', 'Datoff'),
('Lolon', 93, 'Yosum', 'Beger'),
('Deven', 49, 'Tutin', 'Datoff'),
('Vokum', 273, 'Yosum', 'Fuzon'),
('Fiten', 28, 'Wogis', 'Woron'),
('Gokel', 231, 'Tutin', 'Yoker');

CREATE TABLE scarves (flower TEXT, carrier TEXT, tokens INTEGER);
INSERT INTO scarves VALUES
('Woron', 'Defis', 47),
('Beger', 'Ditak', 707),
('Datoff', 'Ditak', 483),
('Yoker', 'Wefon', 130),
('Mefic', 'Wefon', 748),
('Fuzon', 'Ditak', 696);

CREATE TABLE canoes (kingdom TEXT, aide TEXT, lines INTEGER, coroner TEXT);
INSERT INTO canoes VALUES
('Nivum', 'Dobak', 241, 'Lelak'),
('Difum', 'Dobak', 39, 'Mepoff'),
('Nuner', 'Dobak', 962, 'Mepoff'),
('Nunak', 'Libski', 578, 'Kadoff'),
('Dekum', 'Hiren', 311, 'Kadoff'),
('Widic', 'Dobak', 474, 'Valic'),
('Molak', 'Dobic', 495, 'Valic'),
('Donon', 'Dobic', 678, 'Kudon'),
('Fabak', 'Hiren', 115, 'Zarin'),
('Besov', 'Dobic', 377, 'Zarin');

CREATE TABLE silos (coroner TEXT, books INTEGER, bride TEXT);
INSERT INTO silos VALUES
('Kadoff', 642, 'Somin'),
('Zarin', 113, 'Somin'),
('Valic', 247, 'Wolen'),
('Mepoff', 536, 'Wolen'),
('Kudon', 334, 'Bitak'),
('Lelak', 798, 'Somin');

CREATE TABLE breads (boss TEXT, peak INTEGER, fan TEXT, stone TEXT);
INSERT INTO breads VALUES
('Lubum', 419, 'Mever', 'Zarel'),
('Namak', 20, 'Mever', 'Liser'),
('Lobak', 806, 'Supin', 'Takis'),
('Rutin', 261, 'Liper', 'Pasov'),
('Taser', 293, 'Supin', 'Bamum'),
('Sekis', 687, 'Liper', 'Takis'),
('Dezic', 403, 'Supin', 'Pasov'),
('Fidum', 591, 'Pizic', 'Zarel'),
('Kepski', 475, 'Mever', 'Labum'),
('Ligin', 724, 'Mever', 'Labum');

CREATE TABLE twins (stone TEXT, books INTEGER, voice TEXT);
INSERT INTO twins VALUES
('Zarel', 717, 'Figer'),
('Labum', 882, 'Figer'),
('Pasov', 342, 'Keter'),
('Takis', 867, 'Fakon'),
('Bamum', 16, 'Keter'),
('Liser', 510, 'Keter');

CREATE TABLE hawks (outlet TEXT, pence INTEGER, folk TEXT, team TEXT);
INSERT INTO hawks VALUES
('Voter', 610, 'Pogel', 'Gumov'),
('Bodel', 157, 'Pogel', 'Volin'),
('Jaric', 140, 'Pogel', 'Gumov'),
('Pavski', 591, 'Pogel', 'Yigon'),
('Josic', 465, 'Wezski', 'Seker'),
('Wirov', 902, 'Wezski', 'Yigon'),
('Fuvak', 730, 'Koven', 'Mafel'),
('Mibin', 604, 'Budum', 'Seker'),
('Huvoff', 434, 'Budum', 'Mafel'),
('Bozon', 614, 'Wezski', 'Nenum');

CREATE TABLE trucks (team TEXT, sector TEXT, stock INTEGER);
INSERT INTO trucks VALUES
('Mafel', 'Kaloff', 603),
('Gumov', 'Tuten', 36),
('Seker', 'Kaloff', 820),
('Yigon', 'Kaloff', 602),
('Nenum', 'Tuten', 909),
('Volin', 'Guzak', 322);

CREATE TABLE statues (author TEXT, agency TEXT, marks INTEGER, pet TEXT);
INSERT INTO statues VALUES
('Yeboff', 'Memin', 849, 'Nivic'),
('Zoger', 'Banak', 387, 'Keron'),
('Bigon', 'Jadski', 669, 'Sugin'),
('Pobski', 'Banak', 30, 'Neton'),
('Jozov', 'Jadski', 439, 'Wegis'),
('Zaroff', 'Jadski', 671, 'Nivic'),
('Kulen', 'Memin', 675, 'Nadoff'),
('Tozon', 'Tozum', 863, 'Wegis'),
('Gafin', 'Jadski', 867, 'Sugin'),
('Sosel', 'Memin', 195, 'Keron');

CREATE TABLE divers (pet TEXT, errors INTEGER, world TEXT);
INSERT INTO divers VALUES
('Wegis', 73, 'Leloff'),
('Sugin', 607, 'Fomic'),
('Nivic', 810, 'Tetis'),
('Keron', 64, 'Leloff'),
('Nadoff', 758, 'Fomic'),
('Neton', 51, 'Fomic');

CREATE TABLE tubes (sage TEXT, giver TEXT, gates INTEGER, sister TEXT);
INSERT INTO tubes VALUES
('Safis', 'Rogum', 985, 'Barski'),
('Kokoff', 'Moner', 730, 'Sivak'),
('Kipak', 'Wudon', 935, 'Barski'),
('Biroff', 'Dosin', 19, 'Vomov'),
('Zozin', 'Wudon', 295, 'Lusel'),
('Bisov', 'Dosin', 271, 'Govon'),
('Sepoff', 'Rogum', 374, 'Vomov'),
('Pazin', 'Wudon', 654, 'Sivak'),
('Junen', 'Dosin', 851, 'Tovis'),
('Fogum', 'Dosin', 360, 'Tovis');

CREATE TABLE balls (sister TEXT, summit TEXT, growth INTEGER);
INSERT INTO balls VALUES
('Tovis', 'Barum', 257),
('Vomov', 'Barum', 173),
('Sivak', 'Silov', 110),
('Barski', 'Silov', 796),
('Govon', 'Yafin', 377),
('Lusel', 'Silov', 337);

CREATE TABLE albums (surname TEXT, turns INTEGER, holder TEXT, front TEXT);
INSERT INTO albums VALUES
('Yoben', 410, 'Jovon', 'Yugin'),
('Tisis', 565, 'Vurel', 'Redoff'),
('Lepis', 959, 'Vurel', 'Dutak'),
('Lidoff', 544, 'Tusoff', 'Nogak'),
('Gogin', 632, 'Vurel', 'Sotov'),
('Supin', 396, 'Vurel', 'Warski'),
('Hudak', 719, 'Tusoff', 'Warski'),
('Suber', 926, 'Jovon', 'Nogak'),
('Takoff', 674, 'Vumin', 'Yugin'),
('Vipel', 295, 'Jovon', 'Dutak');

CREATE TABLE hotels (front TEXT, poem TEXT, marks INTEGER);
INSERT INTO hotels VALUES
('Dutak', 'Ruger', 700),
('Warski', 'Pulen', 443),
('Nogak', 'Tipum', 291),
('Yugin', 'Ruger', 476),
('Sotov', 'Tipum', 536),
('Redoff', 'Ruger', 495);

CREATE TABLE tigers (start TEXT, senator TEXT, aims INTEGER, event TEXT);
INSERT INTO tigers VALUES
('Juper', 'Jodel', 101, 'Detski'),
('Hutum', 'Letov', 191, 'Siben'),
('Burov', 'Wokov', 638, 'Lasum'),
('Bimak', 'Jodel', 396, 'Zeboff'),
('Todski', 'Letov', 464, 'Vavin'),
('Tarski', 'Letov', 412, 'Siben'),
('Nuton', 'Vekon', 278, 'Lasum'),
('Zusak', 'Letov', 368, 'Maner'),
('Begic', 'Vekon', 891, 'Vavin'),
('Vumum', 'Jodel', 103, 'Zeboff');

CREATE TABLE condos (event TEXT, saddles INTEGER, yard TEXT);
INSERT INTO condos VALUES
('Siben', 662, 'Wumski'),
('Vavin', 179, 'Wirel'),
('Lasum', 409, 'Garen'),
('Zeboff', 245, 'Wumski'),
('Maner', 678, 'Wumski'),
('Detski', 196, 'Garen');

CREATE TABLE ballads (tailor TEXT, drops INTEGER, film TEXT, surname TEXT);
INSERT INTO ballads VALUES
('Lunov', 701, 'Kevov', 'Tizen'),
('Renov', 331, 'Heker', 'Seroff'),
('Webum', 65, 'Hokski', 'Tizen'),
('Wavov', 687, 'Kevov', 'Razov'),
('Ragoff', 91, 'Heker', 'Zuten'),
('Jidoff', 502, 'Heker', 'Vepov'),
('Fomer', 563, 'Sisen', 'Zisoff'),
('Tobel', 933, 'Hokski', 'Vepov'),
('Rogum', 284, 'Heker', 'Zuten'),
('Jufak', 468, 'Hokski', 'Razov');

CREATE TABLE suites (surname TEXT, height INTEGER, stand TEXT);
INSERT INTO suites VALUES
('Razov', 126, 'Wezon'),
('Tizen', 973, 'Zupski'),
('Vepov', 988, 'Zupski'),
('Zuten', 37, 'Mubum'),
('Seroff', 610, 'Zupski'),
('Zisoff', 592, 'Wezon');

CREATE TABLE storms (kit TEXT, meal TEXT, dose INTEGER, office TEXT);
INSERT INTO storms VALUES
('Lomin', 'Tifen', 810, 'Navov'),
('Neroff', 'Hinum', 517, 'Monin'),
('Vefak', 'Hinum', 279, 'Wovin'),
('Tizoff', 'Hinum', 179, 'Jimic'),
('Puvin', 'Tifen', 280, 'Fivum'),
('Welak', 'Lokum', 162, 'Monin'),
('Bunov', 'Dibic', 191, 'Jimic'),
('Kakel', 'Tifen', 282, 'Wakel'),
('Josel', 'Tifen', 533, 'Navov'),
('Siben', 'Lokum', 391, 'Wovin');

CREATE TABLE dances (office TEXT, spans INTEGER, mayor TEXT);
INSERT INTO dances VALUES
('Navov', 84, 'Nalov'),
('Jimic', 336, 'Nalov'),
('Monin', 777, 'Muven'),
('Wovin', 348, 'Muven'),
('Wakel', 502, 'Muven'),
('Fivum', 335, 'Baboff');

CREATE TABLE huts (bed TEXT, look TEXT, liters INTEGER, maid TEXT);
INSERT INTO huts VALUES
('Zidel', 'Lufum', 744, 'Jinov'),
('Liler', 'Hitak', 910, 'Mesin'),
('Penov', 'Letum', 592, 'Jinov'),
('Gasski', 'Letum', 224, 'Tivis'),
('Kavis', 'Hitak', 441, 'Wavel'),
('Zatin', 'Hitak', 396, 'Jadel'),
('Debov', 'Hitak', 250, 'Jadel'),
('Sozon', 'Safski', 836, 'Ronon'),
('Pagon', 'Letum', 284, 'Tivis'),
('Fevon', 'Lufum', 137, 'Wavel');

CREATE TABLE beers (maid TEXT, gaps INTEGER, patron TEXT);
INSERT INTO beers VALUES
('Wavel', 882, 'Sovel'),
('Jinov', 838, 'Sovel'),
('Jadel', 981, 'Yukin'),
('Tivis', 774, 'Sovel'),
('Ronon', 965, 'Guken'),
('Mesin', 139, 'Guken');

CREATE TABLE stages (label TEXT, carver TEXT, dips INTEGER, outlet TEXT);
INSERT INTO stages VALUES
('Kosov', 'Besic', 91, 'Yapel'),
('Laver', 'Rusen', 405, 'Kipel'),
('Zasski', 'Besic', 748, 'Kipel'),
('Yunoff', 'Horov', 358, 'Wafic'),
('Yimen', 'Tivin', 835, 'Yapel'),
('Wukum', 'Horov', 821, 'Posum'),
('Bemer', 'Rusen', 29, 'Liroff'),
('Pamen', 'Horov', 208, 'Tovoff'),
('Gidski', 'Besic', 304, 'Wafic'),
('Woboff', 'Horov', 297, 'Posum');

CREATE TABLE juries (outlet TEXT, belt TEXT, clips INTEGER);
INSERT INTO juries VALUES
('Wafic', 'Wanski', 316),
('Posum', 'Nebis', 82),
('Kipel', 'Nebis', 563),
('Yapel', 'Nebis', 647),
('Liroff', 'Wanski', 154),
('Tovoff', 'Yemis', 462);

CREATE TABLE crabs (story TEXT, rallies INTEGER, salon TEXT, coach TEXT);
INSERT INTO crabs VALUES
('Lomer', 713, 'Mavoff', 'Tirak'),
('Hunon', 963, 'Mavoff', 'Lorak'),
('Tetin', 153, 'Fagon', 'Hipon'),
('Vafer', 574, 'Fagon', 'Tirak'),
('Womer', 405, 'Vuvon', 'Fumen'),
('Yamis', 279, 'Mavoff', 'Kigak'),
('Havel', 856, 'Yezel', 'Kigak'),
('Teren', 990, 'Vuvon', 'Fumen'),
('Yozer', 141, 'Mavoff', 'Juvis'),
('Wulen', 541, 'Vuvon', 'Juvis');

CREATE TABLE offices (coach TEXT, dunks INTEGER, flower TEXT);
INSERT INTO offices VALUES
('Tirak', 898, 'Tener'),
('Fumen', 30, 'Tovis'),
('Juvis', 607, 'Lebel'),
('Kigak', 548, 'Tovis'),
('Lorak', 523, 'Tovis'),
('Hipon', 347, 'Lebel');
