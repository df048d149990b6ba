CREATE TABLE titles (tenor TEXT, pools INTEGER, venue TEXT, place TEXT);
INSERT INTO titles VALUES
('Vogen', 64, 'Rabis', 'Gusski'),
('Biris', 136, 'Juvin', 'Maler'),
('Luken', 317, 'Rabis', 'Gusski'),
('Pubak', 43, 'Rabis', 'Daroff'),
('Jorin', 483, 'Dazum', 'Jurum'),
('Gegic', 24, 'Yosov', 'Bivic'),
('Kapis', 25, 'Rabis', 'Zezic'),
('Ronen', 56, 'Dazum', 'Daroff'),
('Taner', 501, 'Juvin', 'Bivic'),
('Wumoff', 422, 'Juvin', 'Maler');

CREATE TABLE vases (place TEXT, museum TEXT, width INTEGER);
INSERT INTO vases VALUES
('Gusski', 'Misov', 327),
('Daroff', 'Yaboff', 645),
('Maler', 'Yaboff', 833),
('Bivic', 'Yaboff', 267),
('Jurum', 'Badak', 348),
('Zezic', 'Badak', 293);

CREATE TABLE buses (pattern TEXT, helper TEXT, size INTEGER, place TEXT);
INSERT INTO buses VALUES
('Zomin', 'Zulel', 468, 'Veger'),
('Dipis', 'Mudak', 999, 'Damel'),
('Mubis', 'Zulel', 13, 'Damel'),
('Mobum', 'Mudak', 217, 'Ramel'),
('Lagin', 'Dinum', 800, 'Lemon'),
('Tezak', 'Zulel', 28, 'Lemon'),
('Vikic', 'Mudak', 432, 'Balov'),
('Hegoff', 'Mudak', 144, 'Veger'),
('Sugic', 'Jadov', 971, 'Fudum'),
('Halum', 'Dinum', 215, 'Ramel');

CREATE TABLE drones (place TEXT, title TEXT, gain INTEGER);
INSERT INTO drones VALUES
('Ramel', 'Lovin', 264),
('Veger', 'Patic', 788),
('Lemon', 'Juris', 325),
('Damel', 'Juris', 952),
('Balov', 'Juris', 948),
('Fudum', 'Patic', 306);

CREATE TABLE tours (club TEXT, maps INTEGER, sister TEXT, mayor TEXT);
INSERT INTO tours VALUES
('Rovum', 615, 'Duger', 'Bitoff'),
('Rigis', 244, 'Hiken', 'Mubov'),
('Vasak', 355, 'Gulon', 'Ninski'),
('Figak', 669, 'Hiken', 'Bitoff'),
('Pafak', 48, 'Lugum', 'Kagen'),
('Fikoff', 452, 'Gulon', 'Vimel'),
('Henel', 488, 'Hiken', 'Kagen'),
('Pepoff', 941, 'Gulon', 'Yukis'),
('Nosum', 777, 'Gulon', 'Vimel'),
('Lazov', 632, 'Lugum', 'Ninski');

CREATE TABLE roads (mayor TEXT, salary INTEGER, road TEXT);
INSERT INTO roads VALUES
('Bitoff', 251, 'Mevon'),
('Vimel', 884, 'Suvin'),
('Ninski', 116, 'Mevon'),
('Kagen', 140, 'Bevum'),
('Yukis', 966, 'Mevon'),
('Mubov', 570, 'Bevum');

CREATE TABLE salons (label TEXT, critic TEXT, force INTEGER, voter TEXT);
INSERT INTO salons VALUES
('Devon', 'Delic', 199, 'Lofak'),
('Hakum', 'Davel', 640, 'Siten'),
('Vaboff', 'Tizen', 297, 'Tulis'),
('Yakic', 'Delic', 996, 'Nufel'),
('Pifel', 'Tizen', 723, 'Tulis'),
('Ninov', 'Davel', 758, 'Siten'),
('Rogov', 'Hibon', 664, 'Nelin'),
('Fasak', 'Tizen', 265, 'Nelin'),
('Sotic', 'Tizen', 588, 'Lelum'),
('Guvov', 'Delic', 226, 'Lelum');

CREATE TABLE cows (voter TEXT, soil TEXT, days INTEGER);
INSERT INTO cows VALUES
('Lelum', 'Zulin', 854),
('Tulis', 'Gazic', 364),
('Nelin', 'Kinin', 257),
('Siten', 'Kinin', 313),
('Nufel', 'Kinin', 902),
('Lofak', 'Gazic', 936);

CREATE TABLE hotels (salon TEXT, slides INTEGER, award TEXT, mode TEXT);
INSERT INTO hotels VALUES
('Rifon', 833, 'Falski', 'Rotin'),
('Faken', 583, 'Voger', 'Varic'),
('Yuger', 947, 'Voger', 'Varic'),
('Vuter', 657, 'Falski', 'Sikski'),
('Givic', 291, 'Jigis', 'Jakin'),
('Lafum', 723, 'Pegum', 'Femen'),
('Notum', 204, 'Jigis', 'Rurin'),
('Nikak', 904, 'Jigis', 'Femen'),
('Jaler', 876, 'Jigis', 'Sikski'),
('Zoben', 451, 'Falski', 'Rotin');

CREATE TABLE zones (mode TEXT, knight TEXT, spaces INTEGER);
INSERT INTO zones VALUES
('Sikski', 'Zazis', 748),
('Rotin', 'Wigel', 816),
('Femen', 'Zazis', 894),
('Varic', 'Leroff', 862),
('Rurin', 'Wigel', 280),
('Jakin', 'Wigel', 251);

CREATE TABLE bees (bride TEXT, villa TEXT, bids INTEGER, spot TEXT);
INSERT INTO bees VALUES
('Gevski', 'Pugis', 502, 'Siben'),
('Favis', 'Riner', 626, 'Matum'),
('Herer', 'Riner', 614, 'Siben'),
('Ketski', 'Tedov', 70, 'Jozov'),
('Gusov', 'Tedov', 610, 'Subon'),
('Masov', 'Tedov', 576, 'Vovak'),
('Jigel', 'Pugis', 735, 'Vovak'),
('Rabin', 'Sokin', 459, 'Jozov'),
('Jipak', 'Pugis', 854, 'Luzov'),
('Wimen', 'Tedov', 903, 'Subon');

CREATE TABLE folders (spot TEXT, knocks INTEGER, genre TEXT);
INSERT INTO folders VALUES
('Subon', 684, 'Sesen'),
('Jozov', 632, 'Konin'),
('Siben', 22, 'Sesen'),
('Vovak', 310, 'Pavic'),
('Matum', 267, 'Pavic'),
('Luzov', 191, 'Sesen');

CREATE TABLE ruins (belt TEXT, bets INTEGER, salon TEXT, clerk TEXT);
INSERT INTO ruins VALUES
('Rilum', 271, 'Sadski', 'Panon'),
('Wolak', 700, 'Gumak', 'Zoric'),
('Barski', 845, 'Baroff', 'Nogoff'),
('Melel', 774, 'Baroff', 'Wosum'),
('Bomic', 910, 'Sadski', 'Hevak'),
('Yufum', 678, 'Baroff', 'Logski'),
('Zegis', 952, 'Kasis', 'Logski'),
('Gesel', 832, 'Gumak', 'Hevak'),
('Niroff', 159, 'Gumak', 'Wosum'),
('Kaken', 474, 'Baroff', 'Zoric');

CREATE TABLE gorges (clerk TEXT, artist TEXT, solos INTEGER);
INSERT INTO gorges VALUES
('Hevak', 'Yufoff', 410),
('Logski', 'Yufoff', 362),
('Wosum', 'Ritis', 476),
('Zoric', 'Yufoff', 964),
('Panon', 'Hafak', 649),
('Nogoff', 'Hafak', 959);

CREATE TABLE oaks (heir TEXT, repeats INTEGER, flower TEXT, printer TEXT);
INSERT INTO oaks VALUES
('Jinski', 198, 'Rovoff', 'Rupin'),
('Risum', 892, 'Yilen', 'Hupak'),
('Jolum', 184, 'Posis', 'Vovic'),
('Rovic', 723, 'Yilen', 'Geton'),
('Bafski', 496, 'Gizak', 'Bazski'),
('Mufon', 670, 'Posis', 'Bazski'),
('Sabel', 644, 'Rovoff', 'Hupak'),
('Tunis', 275, 'Rovoff', 'Watis'),
('Nogov', 952, 'Posis', 'Watis'),
('Yisak', 115, 'Rovoff', 'Geton');

CREATE TABLE desks (printer TEXT, boat TEXT, fires INTEGER);
INSERT INTO desks VALUES
('Hupak', 'Jomel', 384),
('Bazski', 'Jomel', 809),
('Watis', 'Sumic', 482),
('Geton', 'Sulum', 609),
('Rupin', 'Sumic', 669),
('Vovic', 'Jomel', 291);

CREATE TABLE words (motto TEXT, hops INTEGER, oracle TEXT, picker TEXT);
INSERT INTO words VALUES
('Merum', 740, 'Piris', 'Lezis'),
('Hudak', 305, 'Pider', 'Rudic'),
('Turon', 196, 'Herum', 'Yenoff'),
('Konin', 636, 'Fadov', 'Yibak'),
('Lapin', 991, 'Herum', 'Yelin'),
('Vokon', 288, 'Herum', 'Yenoff'),
('Manis', 136, 'Fadov', 'Yelin'),
('Susen', 633, 'Fadov', 'Yibak'),
('Vesski', 943, 'Piris', 'Lezis'),
('Pemen', 354, 'Herum', 'Hemski');

CREATE TABLE looms (picker TEXT, author TEXT, liters INTEGER);
INSERT INTO looms VALUES
('Yenoff', 'Limin', 89),
('Yibak', 'Rupum', 977),
('Lezis', 'Pedum', 750),
('Yelin', 'Pedum', 457),
('Rudic', 'Rupum', 59),
('Hemski', 'Pedum', 209);

CREATE TABLE harps (senator TEXT, oil INTEGER, sister TEXT, envoy TEXT);
INSERT INTO harps VALUES
('Teroff', 58, 'Vezer', 'Repin'),
('Tisum', 594, 'Vezer', 'Bivov'),
('Pevel', 620, 'Vesin', 'Bivov'),
('Vuzov', 270, 'Vezer', 'Rolen'),
('Mokski', 397, 'Vesin', 'Farski'),
('Fezov', 664, 'Katov', 'Dokski'),
('Liton', 823, 'Vesin', 'Pupin'),
('Homel', 186, 'Vezer', 'Pupin'),
('Meris', 651, 'Katov', 'Dokski'),
('Higak', 889, 'Ligis', 'Rolen');

CREATE TABLE ballads (envoy TEXT, domain TEXT, frames INTEGER);
INSERT INTO ballads VALUES
('Dokski', 'Zadin', 726),
('Rolen', 'Zadin', 614),
('Bivov', 'Mebski', 281),
('Pupin', 'Zadin', 971),
('Repin', 'Mebski', 800),
('Farski', 'Doton', 673);

CREATE TABLE albums (setter TEXT, road TEXT, expense INTEGER, stand TEXT);
INSERT INTO albums VALUES
('Limis', 'Safis', 993, 'Sekin'),
('Renon', 'Pumel', 334, 'Sekin'),
('Titel', 'Pumel', 884, 'Bemak'),
('Toten', 'Pumel', 407, 'Jakon'),
('Getak', 'Safis', 614, 'Jakon'),
('Jugon', 'Safis', 458, 'Bemak'),
('Bunel', 'Safis', 869, 'Sebski'),
('Bufski', 'Pofoff', 800, 'Nigic'),
('Kakski', 'Yokum', 165, 'Nigic'),
('Kelis', 'Pofoff', 80, 'Goron');

CREATE TABLE towns (stand TEXT, fee INTEGER, member TEXT);
INSERT INTO towns VALUES
('Nigic', 264, 'Kufoff'),
('Sekin', 830, 'Yemer'),
('Jakon', 152, 'Vovak'),
('Bemak', 877, 'Kufoff'),
('Goron', 654, 'Vovak'),
('Sebski', 770, 'Kufoff');

CREATE TABLE rovers (format TEXT, agency TEXT, graphs INTEGER, tool TEXT);
INSERT INTO rovers VALUES
('Nuloff', 'Juvin', 668, 'Pisel'),
('Yiben', 'Nubum', 451, 'Kalel'),
('Jinski', 'Wotak', 618, 'Zopic'),
('Mazen', 'Kuzis', 86, 'Dovel'),
('Jitov', 'Wotak', 673, 'Topoff'),
('Linin', 'Juvin', 525, 'Dokel'),
('Lazic', 'Nubum', 177, 'Dovel'),
('Wikon', 'Juvin', 216, 'Topoff'),
('Wugski', 'Juvin', 750, 'Kalel'),
('Luner', 'Nubum', 144, 'Zopic');

CREATE TABLE arcs (tool TEXT, margin INTEGER, cleric TEXT);
INSERT INTO arcs VALUES
('Kalel', 237, 'Degel'),
('Zopic', 282, 'Vodski'),
('Dovel', 857, 'Degel'),
('Topoff', 597, 'Degel'),
('Dokel', 41, 'Bisen'),
('Pisel', 235, 'Bisen');

CREATE TABLE islands (critic TEXT, width INTEGER, term TEXT, tutor TEXT);
INSERT INTO islands VALUES
('Munoff', 918, 'Wuben', 'Miven'),
('Vevski', 541, 'Wasak', 'Radic'),
('Gober', 284, 'Yigak', 'Lulis'),
('Sedov', 702, 'Wuben', 'Javen'),
('Nazon', 464, 'Wasak', 'Miven'),
('Fagski', 671, 'Sepin', 'Mizov'),
('Razoff', 300, 'Wuben', 'Radic'),
('Tenak', 77, 'Yigak', 'Bimer'),
('Rudum', 771, 'Wasak', 'Mizov'),
('Peron', 701, 'Wuben', 'Lulis');

CREATE TABLE foals (tutor TEXT, brother TEXT, covers INTEGER);
INSERT INTO foals VALUES
('Miven', 'Nasic', 574),
('Radic', 'Pusski', 544),
('Mizov', 'Nasic', 980),
('Lulis', 'Tedon', 960),
('Bimer', 'Tedon', 488),
('Javen', 'Tedon', 688);

CREATE TABLE tutors (pastor TEXT, pipes INTEGER, servant TEXT, museum TEXT);
INSERT INTO tutors VALUES
('Labis', 787, 'Nifoff', 'Bukon'),
('Rader', 320, 'Sorak', 'Kalski'),
('Noloff', 687, 'Fater', 'Vinic'),
('Feder', 10, 'Fater', 'Vinic'),
('Mefer', 782, 'Rusoff', 'Kimak'),
('Delon', 16, 'Fater', 'Kalski'),
('Jaben', 123, 'Sorak', 'Gidon'),
('Todum', 667, 'Nifoff', 'Puvel'),
('Dizel', 825, 'Sorak', 'Kimak'),
('Kakak', 99, 'Fater', 'Puvel');

CREATE TABLE offices (museum TEXT, voter TEXT, stock INTEGER);
INSERT INTO offices VALUES
('Puvel', 'Kakoff', 812),
('Kimak', 'Memoff', 177),
('Vinic', 'Kikak', 958),
('Kalski', 'Memoff', 185),
('Bukon', 'Memoff', 25),
('Gidon', 'Kakoff', 168);

CREATE TABLE otters (youth TEXT, atoms INTEGER, voice TEXT, season TEXT);
INSERT INTO otters VALUES
('Banel', 546, 'Lamis', 'Nebski'),
('Hipoff', 267, 'Fidin', 'Terak'),
('Gopin', 131, 'Lamis', 'Pikski'),
('Women', 964, 'Lamis', 'Pikski'),
('Yivel', 372, 'Lamis', 'Nadoff'),
('Kezen', 76, 'Kefak', 'Nadoff'),
('Tonski', 331, 'Nibic', 'Goric'),
('Wivski', 658, 'Fidin', 'Zalov'),
('Juben', 188, 'Nibic', 'Terak'),
('Zigski', 32, 'Nibic', 'Zalov');

CREATE TABLE timbers (season TEXT, timers INTEGER, cell TEXT);
INSERT INTO timbers VALUES
('Pikski', 50, 'Fepic'),
('Zalov', 245, 'Fepic'),
('Nadoff', 690, 'Winak'),
('Terak', 839, 'Winak'),
('Nebski', 545, 'Fepic'),
('Goric', 844, 'Hoben');

CREATE TABLE tanks (summit TEXT, boat TEXT, dimes INTEGER, part TEXT);
INSERT INTO tanks VALUES
('Lafum', 'Busis', 863, 'Sesak'),
('Lemen', 'Busis', 971, 'Sesak'),
('Suvski', 'Polin', 857, 'Bafel'),
('Dunum', 'Polin', 993, 'Biroff'),
('Wovoff', 'Nufum', 812, 'Bafel'),
('Jikov', 'Temel', 546, 'Nidski'),
('Walin', 'Busis', 460, 'Jegel'),
('Norov', 'Busis', 910, 'Jegel'),
('Nesoff', 'Polin', 280, 'Biroff'),
('Rolen', 'Temel', 897, 'Serski');

CREATE TABLE huts (part TEXT, team TEXT, decks INTEGER);
INSERT INTO huts VALUES
('Bafel', 'Vudic', 694),
('Jegel', 'Kutov', 191),
('Biroff', 'Milov', 335),
('Sesak', 'Milov', 353),
('Serski', 'Kutov', 310),
('Nidski', 'Milov', 141);

CREATE TABLE goats (motto TEXT, buyer TEXT, pitch INTEGER, warden TEXT);
INSERT INTO goats VALUES
('Yubak', 'Yerel', 330, 'Tovel'),
('Gatic', 'Fobov', 646, 'Nobel'),
('Mosic', 'Fobov', 947, 'Gozoff'),
('Koker', 'Jikic', 454, 'Gozoff'),
('Tufen', 'Jikic', 925, 'Fibel'),
('Himer', 'Jikic', 614, 'Fibel'),
('Sudin', 'Yerel', 667, 'Holen'),
('Gevoff', 'Devum', 130, 'Beron'),
('Weder', 'Fobov', 266, 'Nobel'),
('Vazoff', 'Jikic', 523, 'Beron');

CREATE TABLE belts (warden TEXT, aroma TEXT, dishes INTEGER);
INSERT INTO belts VALUES
('Fibel', 'Wevum', 700),
('Nobel', 'Yufic', 126),
('Gozoff', 'Wevum', 728),
('Beron', 'Yusov', 101),
('Tovel', 'Yusov', 462),
('Holen', 'Wevum', 168);

CREATE TABLE brokers (logo TEXT, clips INTEGER, leaf TEXT, kit TEXT);
INSERT INTO brokers VALUES
('Rizel', 130, 'Futic', 'Garic'),
('Dipum', 957, 'Futic', 'Suren'),
('Dosoff', 273, 'Mimov', 'Fenoff'),
('Teton', 146, 'Mimov', 'Suren'),
('Kuroff', 364, 'Futic', 'Garic'),
('Ladic', 935, 'Jadski', 'Fuzer'),
('Vedin', 714, 'Jadski', 'Fenoff'),
('Keber', 766, 'Futic', 'Zamum'),
('Hibon', 964, 'Mimov', 'Wanski'),
('Nater', 432, 'Hopski', 'Wanski');

CREATE TABLE beers (kit TEXT, type TEXT, stake INTEGER);
INSERT INTO beers VALUES
('Wanski', 'Mopski', 889),
('Fenoff', 'Wiron', 388),
('Suren', 'Zupski', 659),
('Garic', 'Mopski', 850),
('Zamum', 'Mopski', 304),
('Fuzer', 'Wiron', 337);

CREATE TABLE swords (knight TEXT, field TEXT, couples INTEGER, troop TEXT);
INSERT INTO swords VALUES
('Pumak', 'Wotov', 502, 'Raron'),
('Vivum', 'Wotov', 460, 'Zadis'),
('Netski', 'Jafen', 654, 'Yobum'),
('Duvon', 'Yuvov', 986, 'Yobum'),
('Tifak', 'Jafen', 148, 'Wuver'),
('Lunel', 'Vitski', 818, 'Gumak'),
('Zunin', 'Jafen', 820, 'Raron'),
('Falen', 'Jafen', 857, 'Kanski'),
('Vudski', 'Yuvov', 214, 'Gumak'),
('Jasic', 'Wotov', 872, 'Kanski');

CREATE TABLE divers (troop TEXT, amulet TEXT, sacks INTEGER);
INSERT INTO divers VALUES
('Gumak', 'Woboff', 337),
('Raron', 'Henic', 186),
('Yobum', 'Selak', 114),
('Kanski', 'Selak', 926),
('Wuver', 'Henic', 724),
('Zadis', 'Henic', 490);

CREATE TABLE towers (food TEXT, porter TEXT, dips INTEGER, address TEXT);
INSERT INTO towers VALUES
('Ronon', 'Wobon', 578, 'Kikov'),
('Laboff', 'Rivel', 713, 'Gurov'),
('Voric', 'Rivel', 761, 'Kikov'),
('Jolen', 'Josak', 616, 'Lalum'),
('Palon', 'Wobon', 717, 'Tesic'),
('Kiden', 'Wobon', 432, 'Tesic'),
('Guser', 'Josak', 644, 'Lalum'),
('Tibum', 'Wobon', 323, 'Gukic'),
('Yetic', 'Josak', 157, 'Bidum'),
('Sebis', 'Disov', 677, 'Gukic');

CREATE TABLE geese (address TEXT, grade INTEGER, gate TEXT);
INSERT INTO geese VALUES
('Tesic', 448, 'Mulen'),
('Gukic', 673, 'Sapum'),
('Lalum', 594, 'Sapum'),
('Kikov', 892, 'Mulen'),
('Gurov', 378, 'Sapum'),
('Bidum', 947, 'Teber');
